"""The heartbeat: settings, wiring, ledger, round, Prefect flow, report and command line."""
