//! The global control plane in three rooms on real machines: the room of the primary goes dark, and
//! nothing that was acknowledged is lost. All schemes through every event: `bin/nightly`.

mod common;

use common::rooms::{Rooms, THREE_ROOMS, lose_the_primarys_room};

#[test]
fn three_rooms_lose_the_primarys_room_and_no_write() {
    let Some(rooms) = THREE_ROOMS.build() else {
        return;
    };
    lose_the_primarys_room(&rooms, 1);
    refusals_of_three_rooms(&rooms);
}

/// With two of three rooms dark nobody can be elected, and the tool says so.
fn refusals_of_three_rooms(rooms: &Rooms) {
    let said = rooms.refused(&["ks", "failover", "--to", "global9a"]);
    assert!(said.contains("there is no room `global9a`"), "{said}");
    rooms.power_off("global2a");
    rooms.power_off("global3a");
    let said = rooms.refused(&[
        "ks",
        "recover-pg",
        "--db",
        "global",
        "--primary",
        "global1a-pgserver0",
    ]);
    assert!(
        said.contains("of 3 serve, so nobody can be elected"),
        "{said}"
    );
}
