//! What a scheme survives, what it needs, and its picture.

use crate::model::Scheme;

/// Explains a scheme to a person.
pub fn explain(scheme: Scheme) -> String {
    let (picture, survives, person, loses, rules) = match scheme {
        Scheme::ThreeRooms => (
            "   global1a            global2a            global3a
  entry, services     entry, services     entry, services     all serve
        |                   |                   |
   PostgreSQL ========= PostgreSQL ========= PostgreSQL        one cluster, synchronous
   ZooKeeper ---------- ZooKeeper ---------- ZooKeeper         one ensemble, 2 of 3 decide",
            "any one room: loss of power, of its network, or both. Half a minute without writes at \
             most, without anybody's doing",
            "when two rooms are lost; a second loss in the seconds before the first is made good \
             waits for that room to return",
            "no acknowledged write",
            "three rooms; ZooKeeper and a database server in each, so that a majority is left when \
             one goes dark; not for machines that a zone's own control plane uses, since ZooKeeper \
             goes across the rooms",
        ),
        Scheme::TwoRoomsArbiter => (
            "   global1a            global2a
  entry, services     entry, services                          both serve
        |                   |
   PostgreSQL ========= PostgreSQL                             one cluster, synchronous
   ZooKeeper ---------- ZooKeeper
         \\                  /
          ZooKeeper (arbiter)                                  its vote makes 2 of 3",
            "either room, or the arbiter; not a room and the arbiter together",
            "when a room and the arbiter are lost, or the room that is left alone is lost as well",
            "no acknowledged write; a room that is alone goes on alone, and only it can go on then",
            "an arbiter apart from both rooms, that both can reach without going through the other; \
             it runs ZooKeeper and nothing else",
        ),
        Scheme::TwoRooms => (
            "   global1a                      global2a
  entry, services  <------------  entry                       one serves
        |                             :  services wait
   PostgreSQL  ================>  PostgreSQL                   a commit waits for the other room
   ZooKeeper                      ZooKeeper                    each room its own",
            "the loss of the other room after a person relaxed the wait for it; the loss of the \
             serving room after a person switched",
            "always: two rooms can't know by themselves which of them is cut off",
            "no acknowledged write, as long as commits wait for the other room. While that is \
             relaxed, the serving room's loss loses what it took meanwhile",
            "one database server in each room (a second one in the room could be elected though it \
             lacks what only the other room has confirmed)",
        ),
        Scheme::TwoRoomsConverged => (
            "   global1a + zone alpha         global2a + zone beta
  entry, services  <------------  entry                       one serves
        |                             :  services wait
   PostgreSQL  ================>  PostgreSQL                   the zones' databases are in it, too
   ZooKeeper                      ZooKeeper                    shared with the zone",
            "as two-rooms",
            "as two-rooms",
            "as two-rooms; what happens to the global database happens to the zones' as well",
            "as two-rooms; it can't take an arbiter later, because ZooKeeper is the zone's, too",
        ),
        Scheme::TwoRoomsNoRegion => (
            "   global1a                      global2a
  entry, services  <------------  entry                       one serves
        |                             :  services wait
   PostgreSQL (2, synchronous) ~~>  PostgreSQL (2)             asynchronous between the rooms
   recovery   ================>  recovery                      synchronous, where there is one
   ZooKeeper                      ZooKeeper                    each room its own",
            "a machine of the serving room by itself; the loss of a room after a person switched",
            "for every switch between the rooms",
            "a planned switch loses nothing; a disaster loses what hadn't reached the other room \
             yet, usually less than a second's writes, or all since the link went down",
            "three ZooKeepers and two database servers in each room bear the loss of a machine",
        ),
    };
    let parts = [
        ("survives", survives),
        ("needs a person", person),
        ("loses", loses),
        ("rules", rules),
    ];
    let parts = parts.map(|(name, text)| format!("{name:<INDENT$}{}\n", wrapped(text)));
    format!("{scheme}\n\n{picture}\n\n{}", parts.concat())
}

/// Where the texts begin, and how wide a line is.
const INDENT: usize = 16;
const WIDTH: usize = 96;

/// Breaks a text into lines below each other.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut column = INDENT;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > INDENT && column + 1 + length > WIDTH {
            lines.push('\n');
            lines.push_str(&" ".repeat(INDENT));
            column = INDENT;
        } else if column > INDENT {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}
