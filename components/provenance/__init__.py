"""Where a version comes from: attested when it is registered, verified before it is parsed, told to whoever asks.

A library above the floor: it reads records and writes what is signed about them; it knows no registry and no driver.
"""
