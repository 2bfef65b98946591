"""Erasers that are trained once and then draw without any extra pass: `suppress train`."""
