"""Instruments over SiLA 2 (https://sila-standard.com): feature definitions, names of parameters, client driver.

Work is started by unobservable commands that return at once and is polled with `Lookup`: the client side of an
observable execution never learns that its server has died. What is not here: servers (`twin/server.py`).
"""
