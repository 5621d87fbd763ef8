#!/usr/bin/env python3
"""Prints the program's bill of materials as CycloneDX 1.6 in JSON (https://cyclonedx.org/docs/1.6/json/).

    deploy/sbom.py [--target TRIPLE] >sbom.cdx.json

It lists every crate that is compiled into the program with all its features, as in the container image, or runs while
it is built, with the checksum of Cargo.lock; what the tests alone use is left out. The same Cargo.lock gives the same bytes. Needs cargo and Python 3.11.
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_TARGET = "x86_64-unknown-linux-gnu"
# What bills of materials of this program are named under (RFC 9562 §5.5).
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "pkg:cargo/openai-scim-bridge")


def main():
    parser = argparse.ArgumentParser(description="Prints the program's bill of materials (CycloneDX 1.6, JSON).")
    parser.add_argument("--target", default=DEFAULT_TARGET, help=f"what is built for [default: {DEFAULT_TARGET}]")
    target = parser.parse_args().target
    lock = (ROOT / "Cargo.lock").read_bytes()
    bill = describe(load_metadata(target), load_checksums(lock), uuid.uuid5(NAMESPACE, f"{target}\n{lock.hex()}"))
    json.dump(bill, sys.stdout, indent=2, sort_keys=True)
    print()


def load_metadata(target):
    """What cargo knows about the crates and who needs whom."""
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def load_checksums(lock):
    """SHA-256 of each crate's archive by name and version."""
    packages = tomllib.loads(lock.decode())["package"]
    return {(package["name"], package["version"]): package.get("checksum") for package in packages}


def describe(metadata, checksums, serial):
    """The bill: the program, its components in the order of their names, and who needs whom."""
    packages = {package["id"]: package for package in metadata["packages"]}
    needs = {node["id"]: shipped(node) for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    reached = reachable(root, needs)
    components = [component(packages[id], checksums, "library") for id in reached if id != root]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": component(packages[root], checksums, "application")},
        "components": sorted(components, key=lambda component: component["bom-ref"]),
        "dependencies": [
            {"ref": purl(packages[id]), "dependsOn": sorted(purl(packages[need]) for need in needs[id])}
            for id in sorted(reached, key=lambda id: purl(packages[id]))
        ],
    }


def shipped(node):
    """What a crate needs to run or to be built, beside what its tests need."""
    return {need["pkg"] for need in node["deps"] if any(kind["kind"] != "dev" for kind in need["dep_kinds"])}


def reachable(root, needs):
    reached, waiting = set(), [root]
    while waiting:
        id = waiting.pop()
        if id not in reached:
            reached.add(id)
            waiting.extend(needs[id])
    return reached


def component(package, checksums, kind):
    reference = purl(package)
    described = {
        "type": kind,
        "bom-ref": reference,
        "name": package["name"],
        "version": package["version"],
        "purl": reference,
        "licenses": [{"expression": licence(package)}],
    }
    if package["description"]:
        described["description"] = " ".join(package["description"].split())
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        described["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return described


def purl(package):
    """https://github.com/package-url/purl-spec"""
    return f"pkg:cargo/{quote(package['name'])}@{quote(package['version'])}"


def licence(package):
    """The SPDX expression. Old crates write `MIT/Apache-2.0` and mean the choice."""
    return re.sub(r"\s*/\s*", " OR ", package["license"] or "NOASSERTION")


if __name__ == "__main__":
    main()
