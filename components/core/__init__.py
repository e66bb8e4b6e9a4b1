"""The floor under every room: what a stage is, how it runs, what it leaves behind and how it fails."""
