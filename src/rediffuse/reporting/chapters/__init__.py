"""The topics of a report, each made into paragraphs, tables and figures."""
