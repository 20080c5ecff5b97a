"""The Container Runtime Interface, v1: messages (`runtime_pb2`, generated from `runtime.proto`) and one client class."""
