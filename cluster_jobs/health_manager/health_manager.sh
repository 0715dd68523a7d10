# Follows the heartbeats of the applications.
keep_secret health_manager_status_password {{ health_manager_status_password }}
paas health_manager start
