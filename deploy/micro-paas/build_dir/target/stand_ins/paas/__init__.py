"""What the stand-ins of the release's packages share.

    settings    reads a rendered configuration, in the release's own shapes
    log         log lines as Cloud Foundry writes them, and the one way to die: `fatal`
    nats        a client for the message bus
    pg          a client for PostgreSQL
    http        JSON over HTTP, both sides
    tokens      signing tokens, and telling good ones
    uaa_client  fetching tokens
    address     under which address others find this host
    service     the frame in which every component lives

A host needs Debian's python3 (3.10 or newer) and python3-yaml, and nothing else. It is no framework
to build upon: each module does what the stand-ins need, and says where a real one would do more.
"""
