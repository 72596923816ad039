"""Instruments over OPC UA (IEC 62541): an object an instrument, a method a command.

Channels are signed and encrypted (Basic256Sha256), the token is the password. docs/laboratory.md lists the nodes. What
is not here: servers (`twin/opcua.py`).
"""
