"""Requests that somebody else answers: a node's kubelet (log, exec, attach, port-forward), or a proxied node, pod or Service.

`proxy.Proxy.serve` takes the call; `targets` says where it goes and `queries` what is asked there; `exchange` sends it on and
brings the answer or the upgraded connection back; `answers` makes a proxied page's links lead through the proxy, and `streams`
translates WebSockets for kubelets that speak SPDY alone.
"""
