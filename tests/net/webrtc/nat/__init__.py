"""WebRTC between networks with real routers, which are made in network namespaces of Linux."""
