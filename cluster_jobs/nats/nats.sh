# The message bus that every other component connects to.
paas nats start
