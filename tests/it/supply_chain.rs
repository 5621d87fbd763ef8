//! The bill of materials: complete, true to the lock file, the same each time, and valid in the eyes of others.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::python;

fn sbom() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The interpreter is the machine's own: the script needs nothing but Python and cargo.
    let output = Command::new("python3").arg(root.join("deploy/sbom.py")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn names(bill: &Value) -> BTreeSet<&str> {
    let components = bill["components"].as_array().unwrap();
    components.iter().map(|component| component["name"].as_str().unwrap()).collect()
}

#[test]
fn the_bill_of_materials_lists_what_is_shipped_by_checksum_and_is_the_same_each_time() {
    let text = sbom();
    assert_eq!(text, sbom());
    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bill["metadata"]["component"]["name"], "openai-scim-bridge");
    let named = names(&bill);
    for shipped in [
        "axum",
        "hyper",
        "instant-acme",
        "rustls",
        "aws-lc-sys",
        "sqlx",
        "libsqlite3-sys",
        "jsonwebtoken",
        "cc",
    ] {
        assert!(named.contains(shipped), "{shipped} is missing");
    }
    for of_tests in ["criterion", "proptest", "insta", "tempfile"] {
        assert!(!named.contains(of_tests), "{of_tests} is not shipped");
    }
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let components = bill["components"].as_array().unwrap();
    for component in components {
        let (name, version) = (component["name"].as_str().unwrap(), component["version"].as_str().unwrap());
        let checksum = component["hashes"][0]["content"].as_str().unwrap();
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        let locked = lock.split("[[package]]\n").find(|package| package.starts_with(&entry));
        assert!(locked.unwrap().contains(&format!("checksum = \"{checksum}\"")), "{name} {version}");
        assert_eq!(component["purl"], format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")));
    }
    let dependencies = bill["dependencies"].as_array().unwrap();
    assert_eq!(dependencies.len(), components.len() + 1);
}

#[tokio::test]
async fn the_bill_of_materials_is_valid_cyclonedx() {
    let Some(mut check) = python::script("tests/supply_chain/check_sbom.py") else { return };
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("sbom.json");
    std::fs::write(&path, sbom()).unwrap();
    check.stdin(std::fs::File::open(&path).unwrap());
    let output = python::run(check).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
