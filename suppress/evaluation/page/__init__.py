"""The report of `suppress eval --report`: one form of its content, and from it a Markdown file and an HTML page."""
