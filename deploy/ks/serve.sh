# Has this room's entry lead to the room that serves.
room={{ room }}

/usr/local/sbin/ks-entry "$room"
log "the entry leads to $room"
