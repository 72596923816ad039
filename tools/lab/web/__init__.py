"""Instruments over HTTP: the plain third way, for machines that speak neither SiLA 2 nor OPC UA.

JSON over TLS with a bearer token; docs/laboratory.md lists the seven requests. What is not here: servers
(`twin/web.py`).
"""
