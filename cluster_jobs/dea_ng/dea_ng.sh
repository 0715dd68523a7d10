# Runs the applications, in containers of warden; directory_server shows their files. Both have to
# be there before it.
paas warden start
paas directory_server start
paas dea_ng start
