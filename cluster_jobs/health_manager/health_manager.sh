# Follows the heartbeats of the applications.
paas health_manager start
