"""Reads filters, a JSON text on each line, and prints what scim2-filter-parser makes of each.

A line of output is the tree as JSON, or null for a filter that is refused. A tree is a list:
["or" | "and", left, right], ["not", filter], ["any", path, filter], [op, path, value] or ["pr", path].
"""

import json
import sys

from scim2_filter_parser import ast
from scim2_filter_parser.lexer import SCIMLexer
from scim2_filter_parser.parser import SCIMParser, SCIMParserError


def path_of(node):
    """The path, or a value path as a tree with the sub-attribute that follows it."""
    sub = node.sub_attr.value if node.sub_attr is not None else None
    if isinstance(node.attr_name, ast.Filter):
        return tree(node.attr_name)
    path = node.attr_name if node.uri is None else f"{node.uri}:{node.attr_name}"
    return path if sub is None else f"{path}.{sub}"


def tree(node):
    if isinstance(node, ast.Filter):
        inner = tree(node.expr)
        if node.namespace is not None:
            inner = ["any", path_of(node.namespace), inner]
        return ["not", inner] if node.negated else inner
    if isinstance(node, ast.LogExpr):
        return [node.op.lower(), tree(node.expr1), tree(node.expr2)]
    if node.comp_value is None:
        return ["pr", path_of(node.attr_path)]
    return [node.value.lower(), path_of(node.attr_path), node.comp_value.value]


def main():
    for line in sys.stdin:
        try:
            parsed = SCIMParser().parse(SCIMLexer().tokenize(json.loads(line)))
            print(json.dumps(None if parsed is None else tree(parsed)))
        except (SCIMParserError, ValueError, AttributeError):
            print("null")


if __name__ == "__main__":
    main()
