"""The rules that judge one text, a module each, with the thresholds of the paper that they come from."""
