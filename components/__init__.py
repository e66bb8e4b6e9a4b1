"""The craft: every stage, library and service of the chain. Nothing in here knows who drives it."""
