from __future__ import annotations

import unittest

import itf.mock_tree_sitter
from itf.mock_tree_sitter import Language, Node, Parser, Point, Range, Tree, TreeCursor

# Public names of py-tree-sitter 0.26.  Excluded: logging and drawing of a parse, access
# to the tables of a grammar (the mock has none), and Range.edit.
_API = {
    Node: (
        "byte_range child child_by_field_id child_by_field_name child_count child_with_descendant "
        "children children_by_field_id children_by_field_name descendant_count "
        "descendant_for_byte_range descendant_for_point_range edit end_byte end_point "
        "field_name_for_child field_name_for_named_child first_child_for_byte "
        "first_named_child_for_byte grammar_id grammar_name has_changes has_error id is_error "
        "is_extra is_missing is_named kind_id named_child named_child_count named_children "
        "named_descendant_for_byte_range named_descendant_for_point_range next_named_sibling "
        "next_parse_state next_sibling parent parse_state prev_named_sibling prev_sibling range "
        "start_byte start_point text type walk"
    ),
    Tree: (
        "changed_ranges copy edit included_ranges language root_node root_node_with_offset walk"
    ),
    TreeCursor: (
        "copy depth descendant_index field_id field_name goto_descendant goto_first_child "
        "goto_first_child_for_byte goto_first_child_for_point goto_last_child goto_next_sibling "
        "goto_parent goto_previous_sibling node reset reset_to"
    ),
    Parser: "included_ranges language parse reset",
    Point: "column edit row",
    Range: "end_byte end_point start_byte start_point",
    Language: (
        "abi_version copy field_count field_id_for_name field_name_for_id id_for_node_kind name "
        "node_kind_count node_kind_for_id node_kind_is_named node_kind_is_visible semantic_version"
    ),
}
# Public names that py-tree-sitter does not have.
_OWN = {Tree: {"source"}, Parser: {"build", "read"}, Point: {"count", "index"}}


class ApiTest(unittest.TestCase):
    def test_every_name_is_there(self) -> None:
        """Each class has the public names of py-tree-sitter's class, all with a docstring."""
        for cls, names in _API.items():
            with self.subTest(cls.__name__):
                self.assertIs(cls, getattr(itf.mock_tree_sitter, cls.__name__))
                public = {name for name in dir(cls) if not name.startswith("_")}
                self.assertEqual({*names.split()} | _OWN.get(cls, set()), public)
                for name in public:
                    self.assertTrue(getattr(cls, name).__doc__, name)

    def test_nothing_can_be_set(self) -> None:
        """Assigning to an attribute of a node, a tree or a cursor raises AttributeError."""
        tree = Parser(Language("python")).parse(b"x")
        for thing in (tree, tree.root_node, tree.walk()):
            for name in _API[type(thing)].split():
                with self.subTest(name), self.assertRaises(AttributeError):
                    setattr(thing, name, None)


if __name__ == "__main__":
    unittest.main()
