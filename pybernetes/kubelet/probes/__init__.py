"""Startup, liveness and readiness probes. `manager` runs them and keeps their results; `probe` does one."""
