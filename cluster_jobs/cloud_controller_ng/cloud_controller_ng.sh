# The platform's API: keeps applications and services, trusts the tokens of uaa.
paas cloud_controller_ng start
