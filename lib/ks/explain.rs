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
            "only when two rooms are lost",
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
            "only when a room and the arbiter are lost",
            "no acknowledged write",
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
    format!(
        "{scheme}\n\n{picture}\n\nsurvives        {survives}\nneeds a person  {person}\nloses           \
         {loses}\nrules           {rules}\n"
    )
}
