# Notes in the global database which room serves, and how its zones are.
use global
room={{ room }}

if ! await_primary 30; then fail 'this server is no primary any more'; fi
if [ -n "$room" ]; then
	sql -v room="$room" global <<-'END'
		set client_min_messages = warning;
		create table if not exists ks_settings (name text primary key, value text not null);
		alter table ks_settings owner to ks;
		insert into ks_settings values ('ks_master_zone', :'room')
			on conflict (name) do update set value = excluded.value;
	END
	log "ks_master_zone is $room"
fi
# zone NAME STATUS
zone() {
	sql -v zone="$1" -v status="$2" global <<-'END'
		set client_min_messages = warning;
		create table if not exists zones (zone_id text primary key, room text, status text not null default 'active');
		alter table zones owner to ks;
		insert into zones (zone_id, status) values (:'zone', :'status')
			on conflict (zone_id) do update set status = excluded.status;
	END
	log "zone $1 is $2"
}
{% for zone in zones %}zone {{ zone.name }} {{ zone.status }}
{% endfor %}
