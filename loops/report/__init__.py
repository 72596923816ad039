"""The campaign as a page, a table and a set of files."""
