# Runs the applications, in containers of warden, which has to be there before it. directory_server
# shows their files; it reads the configuration that the start of dea_ng renders.
paas warden start
paas dea_ng start
paas directory_server start
