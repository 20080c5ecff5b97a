"""HTTP messages, the server and WebSockets shared by every component that listens."""
