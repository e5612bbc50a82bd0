"""`assert_no_growth`: the check, and the text of its report."""
