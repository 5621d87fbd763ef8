"""Reads a bill of materials from standard input and fails unless it is valid CycloneDX 1.6."""

import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
if error:
    # What follows the first line is the whole schema.
    sys.exit(f"the bill of materials is malformed: {str(error).splitlines()[0]}")
