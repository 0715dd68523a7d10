# Writes a row as a client does: acknowledged once those confirmed that commits wait for.
use {{ database }}
id={{ id }}

if ! await_primary 60; then fail 'this server takes no writes after 60 s'; fi
said=$(
	sql -v id="$id" "$database" 2>&1 <<-'END'
		set client_min_messages = warning;
		set synchronous_commit = on;
		create table if not exists paas_verify (id text primary key);
		delete from paas_verify;
		insert into paas_verify values (:'id');
	END
) || fail "$id could not be written: $said"
# PostgreSQL only warns where it gave up waiting.
case $said in
*'canceling wait'*) fail "$id was written, but nobody that commits wait for confirmed it" ;;
esac
log "written: $id"
