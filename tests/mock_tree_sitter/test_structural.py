from __future__ import annotations

import unittest

from itf import sample_code_files
from itf.mock_tree_sitter import Node
from tests.mock_tree_sitter.tree_support import LANGUAGES, SyntaxTestCase, parse, walked, written

# Statements, each with the type and the name that tree-sitter gives, by language.
_JAVASCRIPT = (
    ("function f(a, b) {}", "function_declaration", "f"),
    ("async function f() {}", "function_declaration", "f"),
    ("function* g() {}", "generator_function_declaration", "g"),
    ("function *g() {}", "generator_function_declaration", "g"),
    ("function $a$() {}", "function_declaration", "$a$"),
    ("class A extends B { f() {} }", "class_declaration", "A"),
    ("import a from 'b';", "import_statement", ""),
    ("export default function q() {}", "export_statement", ""),
    ("const a = 1;", "lexical_declaration", ""),
    ("let a = (b) => { return b };", "lexical_declaration", ""),
    ("var a", "variable_declaration", ""),
    ("functional()", "expression_statement", ""),
    ("x.class.function = 1;", "expression_statement", ""),
    ("if (a) { b } else { c }", "if_statement", ""),
    ("try { a } catch (e) { b } finally { c }", "try_statement", ""),
    ("do { a } while (b)", "do_statement", ""),
    ("for (;;) { }", "for_statement", ""),
    ("while (a) { }", "while_statement", ""),
    ("switch (a) { case 1: b; }", "switch_statement", ""),
    ("return function() { a }", "return_statement", ""),
    ("throw a", "throw_statement", ""),
    ("{ a }", "statement_block", ""),
    ("`a${b}`", "expression_statement", ""),
    ('a = /[/"]/.test(b)', "expression_statement", ""),
)
_RUST = (
    ("pub(crate) async fn f() {}", "function_item", "f"),
    ("const fn f() {}", "function_item", "f"),
    ('unsafe extern "C" fn f() {}', "function_item", "f"),
    ("unsafe impl T for A {}", "impl_item", ""),
    ("fn f<F: Fn(i32)>(g: F) -> i32 { 1 }", "function_item", "f"),
    ("fn f(a: i32);", "function_signature_item", "f"),
    ("struct A { b: i32 }", "struct_item", "A"),
    ("struct A(i32);", "struct_item", "A"),
    ("enum E { A, B(i32) }", "enum_item", "E"),
    ("union U { a: i32 }", "union_item", "U"),
    ("trait T { fn f(&self); }", "trait_item", "T"),
    ("impl A { fn f() {} }", "impl_item", ""),
    ("impl T for A {}", "impl_item", ""),
    ("mod m { fn f() {} }", "mod_item", "m"),
    ("macro_rules! m { () => {} }", "macro_definition", ""),
    ("use std::io;", "use_declaration", ""),
    ("extern crate a;", "extern_crate_declaration", ""),
    ("let a = 1;", "let_declaration", ""),
    ("const A: i32 = 1;", "const_item", "A"),
    ("static A: i32 = 1;", "static_item", "A"),
    ("type A = B;", "type_item", "A"),
    ("#[derive(Debug)]", "attribute_item", ""),
    ("#![allow(a)]", "inner_attribute_item", ""),
    ("// a", "line_comment", ""),
    ("/* a */", "block_comment", ""),
    ('r#"a"b"#;', "expression_statement", ""),
    ("loop { 'a'; '\\''; }", "expression_statement", ""),
)
_C = (
    ("int f(int a) { return a; }", "function_definition", ""),
    ("static unsigned long *f(void)\n{\n}", "function_definition", ""),
    ("struct a *f(int b) { }", "function_definition", ""),
    ("int f(int a);", "declaration", ""),
    ("int a = 1;", "declaration", ""),
    ("struct a b = {1, 2};", "declaration", ""),
    ("struct a { int b; } c;", "declaration", ""),
    ("typedef struct { int a; } T;", "type_definition", ""),
    ('#include "a.h"', "preproc_include", ""),
    ("#include <a.h>", "preproc_include", ""),
    ("#define A \\\n  b", "preproc_def", "A"),
    ("#define A(b) b", "preproc_function_def", "A"),
    ("#ifdef A", "preproc_call", ""),
    ("// a", "comment", ""),
)


class FormsTest(SyntaxTestCase):
    def test_forms(self) -> None:
        """Each statement has tree-sitter's type, a field for its name, and no error."""
        for language, forms in (("javascript", _JAVASCRIPT), ("rust", _RUST), ("c", _C)):
            for source, kind, expected in forms:
                with self.subTest(source, language=language):
                    tree = parse(source, language)
                    self.assert_sound(tree)
                    self.assertFalse(tree.root_node.has_error, written(tree.root_node))
                    (node,) = tree.root_node.children
                    name = node.child_by_field_name("name")
                    self.assertEqual(
                        (kind, expected),
                        (node.type, name.text.decode() if name and name.text else ""),
                    )

    def test_parts_of_a_function(self) -> None:
        """In each language, parameters and body have fields, and a body contains statements."""
        for language, source, expected in (
            (
                "javascript",
                "function f(a) { return a; }",
                '(function_declaration "function" name: (identifier) parameters: '
                '(formal_parameters "(" (identifier) ")") body: (statement_block "{" '
                '(return_statement "return" (identifier) ";") "}"))',
            ),
            (
                "rust",
                "pub fn f(a: i32) { b; }",
                '(function_item (visibility_modifier "pub") "fn" name: (identifier) parameters: '
                '(parameters "(" (identifier) ":" (primitive_type) ")") body: (block "{" '
                '(expression_statement (identifier) ";") "}"))',
            ),
            (
                "c",
                "char *f(int a) { b; }",
                '(function_definition (primitive_type) declarator: (pointer_declarator "*" '
                "declarator: (function_declarator declarator: (identifier) parameters: "
                '(parameter_list "(" (primitive_type) (identifier) ")"))) body: '
                '(compound_statement "{" (expression_statement (identifier) ";") "}"))',
            ),
        ):
            with self.subTest(language):
                self.assertEqual(expected, written(self.only(source, language)))

    def test_parts_of_a_class(self) -> None:
        """A class has methods and fields, a struct has fields; in C, its semicolon is separate."""
        self.assertEqual(
            '(class_declaration "class" name: (identifier) body: (class_body "{" '
            '(method_definition "static" name: (property_identifier) parameters: '
            '(formal_parameters "(" ")") body: (statement_block "{" "}")) '
            '(field_definition (identifier) "=" (number) ";") "}"))',
            written(self.only("class A { static f() {} x = 1; }", "javascript")),
        )
        struct, semicolon = parse("struct a { int b; };", "c").root_node.children
        self.assertEqual(
            '(struct_specifier "struct" name: (type_identifier) body: '
            '(field_declaration_list "{" (field_declaration (primitive_type) (identifier) ";") '
            '"}"))',
            written(struct),
        )
        self.assertEqual(";", semicolon.type)

    def test_statements_without_semicolons(self) -> None:
        """In JavaScript, a line end ends a statement that the next line does not continue."""
        source = "a = 1\nb\n  .c()\nd = e +\n  f\nfunction g() {\n}\nh()\n"
        texts = [node.text for node in parse(source, "javascript").root_node.children]
        self.assertEqual(
            [b"a = 1", b"b\n  .c()", b"d = e +\n  f", b"function g() {\n}", b"h()"], texts
        )


# Source that is hard to tokenize, and tree-sitter's nodes for it, limited to some types.
_TRAPS = (
    ("javascript", "`${a.map(b => `{${b}'`)}`; function f() {}", "template_string", 1),
    ("javascript", "`${'}`'}${{a: `}`}}\\``; function f() {}", "function_declaration", 1),
    ("javascript", "`${ /* } ` */ a // }\n}`; function f() {}", "function_declaration", 1),
    ("javascript", "#!/usr/bin/env node\nclass A {}", "hash_bang_line", 1),
    ("javascript", "class A { #f() {} }", "private_property_identifier", 1),
    ("javascript", "return function() { a }", "statement_block", 1),
    ("rust", "/* a /* { */ ' */ fn f() {}", "block_comment", 1),
    ("rust", "fn r#match() {}", "function_item", 1),
    ("rust", 'fn f() { c"}"; cr#"}"#; }', "block", 1),
    ("rust", "fn f() { |a| { a } }", "block", 2),
    ("rust", "fn f() { g(|a| -> b { a }, || { c }) }", "block", 3),
    ("rust", "fn f() { let a = if b { 1 } else { 2 }; }", "block", 3),
    ("rust", "fn f() { let a = match b { 1 => { c } }; }", "match_block", 1),
    ("rust", "fn f() { let a = if b { 1 } else { 2 }; S { c: 1 } }", "field_initializer_list", 1),
    ("rust", "fn f() { async { a }; }", "block", 2),
    ("rust", "const A: u8 = { 1 };", "block", 1),
    ("rust", 'extern "C" { fn f(); }', "function_signature_item", 1),
    ("c", "// } \\\n {\nint f() {}", "function_definition", 1),
    ("c", "int *a = L\"}\"; int b = u8'}'; int f() {}", "string_literal", 1),
    ("c", "struct a { struct b { int c; } d; };", "struct_specifier", 2),
    ("c", "union a { int b; int c; };", "field_declaration", 2),
)


class TrapsTest(SyntaxTestCase):
    def test_nested_lexemes_and_kinds_of_braces(self) -> None:
        """Nested lexemes and braces of all kinds cause no error; code after them is parsed."""
        for language, source, kind, count in _TRAPS:
            with self.subTest(source, language=language):
                tree = parse(source, language)
                found = [node for node in walked(tree) if node.is_named and node.type == kind]
                self.assertEqual(count, len(found), tree.root_node)
                self.assertFalse(tree.root_node.has_error, tree.root_node)

    def test_private_names(self) -> None:
        """The # of JavaScript's private names and the r# of Rust's raw names are included."""
        for language, source, name in (
            ("javascript", "class A { #f() {} }", b"#f"),
            ("rust", "fn r#match() {}", b"r#match"),
        ):
            names = [
                node.child_by_field_name("name")
                for node in walked(parse(source, language))
                if node.type in ("method_definition", "function_item")
            ]
            self.assertEqual([name], [node and node.text for node in names])

    def test_unclosed_lexemes(self) -> None:
        """An unclosed comment or string extends to the end of the source."""
        for language, source in (
            ("javascript", "`${`{"),
            ("javascript", "`\\`"),
            ("rust", "/* /* */ fn f() {}"),
        ):
            with self.subTest(source):
                (statement,) = parse(source, language).root_node.children
                self.assertEqual((0, len(source)), statement.byte_range)


class SampleTest(SyntaxTestCase):
    def test_the_samples(self) -> None:
        """All functions, classes and structs of the sample files are found, without an error."""
        expected = {
            "javascript": {
                ("class_declaration", "Greeter"),
                ("method_definition", "constructor"),
                ("method_definition", "greet"),
                ("function_declaration", "add"),
                ("function_declaration", "fetchGreeting"),
            },
            "rust": {
                ("struct_item", "Greeter"),
                ("function_item", "new"),
                ("function_item", "greet"),
                ("function_item", "add"),
                ("function_item", "fetch"),
                ("function_item", "main"),
            },
            "c": {
                ("struct_specifier", "greeter"),
                ("preproc_include", ""),
                ("function_definition", ""),
            },
        }
        for language, found in expected.items():
            with self.subTest(language):
                tree = parse(sample_code_files()[f"example.{LANGUAGES[language]}"], language)
                self.assertFalse(tree.root_node.has_error)
                self.assert_sound(tree)
                self.assertLessEqual(found, {self.titled(node) for node in walked(tree)})

    def titled(self, node: Node) -> tuple[str, str]:
        name = node.child_by_field_name("name")
        return node.type, name.text.decode() if name and name.text else ""

    def test_the_roots(self) -> None:
        """Each language has its own root type, also an unknown language."""
        roots = {
            "python": "module",
            "javascript": "program",
            "rust": "source_file",
            "c": "translation_unit",
            "unknown": "program",
        }
        for language, root in roots.items():
            self.assertEqual((root, 0), (parse(b"", language).root_node.type, 0))
        (statement,) = parse('f(x) { "}" }', "unknown").root_node.children
        self.assertEqual(("expression_statement", False), (statement.type, statement.has_error))


class ErrorRecoveryTest(SyntaxTestCase):
    def test_code_around_an_error_is_parsed(self) -> None:
        """Unmatched brackets are an ERROR or a missing node; the rest is parsed."""
        for language, source, kinds in (
            ("javascript", "} function f() {}", ["ERROR", "function_declaration"]),
            ("rust", "fn f() { ( } fn g() {}", ["function_item", "function_item"]),
            ("c", "int f(void) { ] } int g(void) { }", ["function_definition"] * 2),
            ("c", "int f(void) { {", ["function_definition"]),
        ):
            with self.subTest(source):
                tree = parse(source, language)
                self.assertTrue(tree.root_node.has_error)
                self.assertEqual(kinds, [node.type for node in tree.root_node.children])
                self.assert_sound(tree)
        (missing,) = [
            n for n in walked(parse("int f(void) { (", "c")) if n.is_missing and n.type == ")"
        ]
        self.assertEqual(b"", missing.text)

    def test_nesting_has_no_limit(self) -> None:
        """100,000 nested, unclosed or unopened brackets are parsed without recursion."""
        depth = 100_000
        for language, source, damaged in (
            ("javascript", b"{" * depth, True),
            ("c", b"(" * depth + b")" * depth, False),
            ("rust", b"}" * depth, True),
        ):
            with self.subTest(language=language):
                root = parse(source, language).root_node
                self.assertEqual((len(source), damaged), (root.end_byte, root.has_error))


if __name__ == "__main__":
    unittest.main()
