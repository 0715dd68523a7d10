# Says who somebody is: hands out the tokens that the cloud controller checks.
paas uaa start
