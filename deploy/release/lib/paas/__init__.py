"""What the components of the example release share.

Only the Python standard library is used, so that Debian's `python3` package
is all that a host needs. Python 3.10 is the oldest version supported (that of
Ubuntu 22.04).

    places      where things are on a host
    settings    reads a component's configuration file
    log         log lines, and the one way to die: `fatal`
    nats        a client for the message bus
    pg          a client for PostgreSQL
    http        JSON over HTTP, both sides
    service     the frame in which every Python component lives
    uaa_client  fetching and checking tokens

It is not a framework to build upon: each module does what the example needs,
and says so where a real one would do more.
"""
