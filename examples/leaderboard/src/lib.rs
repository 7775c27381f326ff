//! A leaderboard: the first n players, and the rank of any player among millions.
//!
//! Promises that ranks are exact and that a call's work does not grow with the board. A rank is not
//! counted player by player: for each start of a score, of one to four bytes, a counter has the number of
//! players whose score begins so. The number of players ahead of a score is then the sum of at most 255
//! counters at each of the four lengths. A score that changes moves four counters each way.
//! The board is the tag: its keys live on one shard.
//! Leaves out the order of equal scores in time (they are listed by name), and boards per week: give
//! each a name.

use aspen_guest::keys::{Key, KeyError};
use aspen_guest::store;

aspen_guest::function!({ world: "leaderboard", path: "wit" });

const NAME_BYTES_MAX: usize = 64;
/// Players that are listed.
const TOP_MAX: u32 = 100;

/// The keys of one board.
struct Board(Key);

struct Leaderboard;

impl Guest for Leaderboard {
    fn submit(board: String, player: String, score: u32) -> Result<Standing, String> {
        let board = Board::new(&board)?;
        check_name(&player)?;
        let score = match board.score_of(&player) {
            Some(best) if best >= score => best,
            before => {
                before.inspect(|before| board.take_out(&player, *before));
                board.put_in(&player, score);
                score
            }
        };
        Ok(board.standing(player, score))
    }

    fn remove(board: String, player: String) -> Result<bool, String> {
        let board = Board::new(&board)?;
        check_name(&player)?;
        let score = board.score_of(&player);
        Ok(score.inspect(|score| board.take_out(&player, *score)).is_some())
    }

    fn top(board: String, limit: u32) -> Result<Vec<Standing>, String> {
        let board = Board::new(&board)?;
        let by_score = board.by_score();
        let mut top: Vec<Standing> = vec![];
        for item in store::below(&by_score).take(limit.min(TOP_MAX) as usize) {
            let mut parts = by_score.parts_below(&item.key).map_err(text_of)?;
            let score = u32::MAX - parts.take::<u32>().map_err(text_of)?;
            let player = parts.only().map_err(text_of)?;
            let rank = match top.last() {
                Some(last) if last.score == score => last.rank,
                _ => top.len() as u64 + 1,
            };
            top.push(Standing { player, score, rank });
        }
        Ok(top)
    }

    fn rank(board: String, player: String) -> Result<Option<Standing>, String> {
        let board = Board::new(&board)?;
        check_name(&player)?;
        Ok(board.score_of(&player).map(|score| board.standing(player, score)))
    }
}

aspen_guest::export!(Leaderboard);

fn text_of(error: KeyError) -> String {
    error.to_string()
}

fn check_name(name: &str) -> Result<(), String> {
    let is_good = (1..=NAME_BYTES_MAX).contains(&name.len());
    if is_good { Ok(()) } else { Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes")) }
}

impl Board {
    fn new(name: &str) -> Result<Self, String> {
        check_name(name)?;
        Key::try_tagged(name).map(Self).map_err(text_of)
    }

    /// The value is the score.
    fn player(&self, player: &str) -> Key {
        self.0.clone().part("player").part(player)
    }

    /// Below it stand the players, the highest score first: the score turned round, the name.
    fn by_score(&self) -> Key {
        self.0.clone().part("by-score")
    }

    /// Below it stand the counters of the scores that begin with these bytes and one more byte.
    fn counters(&self, start: &[u8]) -> Key {
        self.0.clone().part("count").part(start)
    }

    fn score_of(&self, player: &str) -> Option<u32> {
        store::get_as(self.player(player))
    }

    fn put_in(&self, player: &str, score: u32) {
        store::put_as(self.player(player), &score);
        store::put(self.by_score().part(u32::MAX - score).part(player), "");
        self.count(score, |players| players + 1);
    }

    fn take_out(&self, player: &str, score: u32) {
        store::delete(self.player(player));
        store::delete(self.by_score().part(u32::MAX - score).part(player));
        self.count(score, |players| players - 1);
    }

    /// Changes the four counters of a score. A counter of zero is not kept.
    fn count(&self, score: u32, change: impl Fn(u64) -> u64) {
        let bytes = score.to_be_bytes();
        for (at, next) in bytes.iter().enumerate() {
            let counter = self.counters(&bytes[..at]).part(*next);
            match change(store::get_u64(&counter).unwrap_or(0)) {
                0 => drop(store::delete(counter)),
                players => store::put_u64(counter, players),
            }
        }
    }

    fn standing(&self, player: String, score: u32) -> Standing {
        Standing { player, score, rank: 1 + self.players_ahead(score) }
    }

    /// Returns the number of players with a higher score. At each length they are those whose score begins
    /// alike and goes on with a greater byte.
    fn players_ahead(&self, score: u32) -> u64 {
        let bytes = score.to_be_bytes();
        let ahead_at = |(at, next): (usize, &u8)| {
            let counters = self.counters(&bytes[..at]);
            let after = counters.clone().part(u16::from(*next) + 1);
            let greater = store::range(after, Some(&counters.bounds_below().1));
            greater.map(|item| item.value_u64()).sum::<u64>()
        };
        bytes.iter().enumerate().map(ahead_at).sum()
    }
}

#[cfg(test)]
mod tests {
    use aspen_guest::testing::{Harness, faults};

    use super::*;

    fn submit(shard: &mut Harness, player: &str, score: u32) -> (u32, u64) {
        let standing = shard.call(|| Leaderboard::submit("b".into(), player.into(), score));
        let Standing { score, rank, .. } = standing.unwrap();
        (score, rank)
    }

    fn top(limit: u32) -> Vec<(String, u32, u64)> {
        let top = Leaderboard::top("b".into(), limit).unwrap();
        top.into_iter().map(|standing| (standing.player, standing.score, standing.rank)).collect()
    }

    #[test]
    fn best_score_counts() {
        let mut shard = Harness::new();
        assert_eq!(submit(&mut shard, "ada", 300), (300, 1));
        assert_eq!(submit(&mut shard, "ben", 70_000), (70_000, 1));
        assert_eq!(submit(&mut shard, "cleo", 300), (300, 2));
        assert_eq!(submit(&mut shard, "dan", 5), (5, 4));
        assert_eq!(submit(&mut shard, "ben", 7), (70_000, 1));
        let list = |names: &[(&str, u32, u64)]| -> Vec<(String, u32, u64)> {
            names.iter().map(|(name, score, rank)| (name.to_string(), *score, *rank)).collect()
        };
        let all = [("ben", 70_000, 1), ("ada", 300, 2), ("cleo", 300, 2), ("dan", 5, 4)];
        assert_eq!(shard.run(|| top(9)), list(&all));
        assert_eq!(shard.run(|| top(2)), list(&all[..2]));
        assert_eq!(submit(&mut shard, "dan", u32::MAX), (u32::MAX, 1));
        assert_eq!(submit(&mut shard, "eve", 0), (0, 5));
    }

    #[test]
    fn removed_player_leaves_nothing() {
        let mut shard = Harness::new();
        submit(&mut shard, "ada", 1);
        submit(&mut shard, "ada", 258);
        let remove = || Leaderboard::remove("b".into(), "ada".into());
        assert_eq!((shard.call(remove), shard.call(remove)), (Ok(true), Ok(false)));
        assert_eq!(shard.scan(""), []);
        let rank = shard.call(|| Leaderboard::rank("b".into(), "ada".into())).unwrap();
        assert!(rank.is_none());
    }

    #[test]
    fn bad_input_is_refused() {
        let mut shard = Harness::new();
        for (board, player) in [("", "a"), ("}", "a"), ("b", ""), ("b", &*"a".repeat(65))] {
            let submit = || Leaderboard::submit(board.into(), player.into(), 1);
            shard.call(submit).map(drop).unwrap_err();
        }
        assert_eq!(shard.revision(), 0);
    }

    #[test]
    fn ranks_are_those_of_the_list_under_faults() {
        faults::check(0..100, |sim| {
            sim.invariant(|| {
                for (player, score, rank) in top(100) {
                    let standing = Leaderboard::rank("b".into(), player).unwrap().unwrap();
                    assert_eq!((standing.score, standing.rank), (score, rank));
                }
            });
            for _ in 0..3 {
                sim.client(|client| async move {
                    for _ in 0..6 {
                        let player = ["ada", "ben", "cleo", "dan"][client.pick(4) as usize];
                        // Scores that differ in each of the four bytes, and equal ones.
                        let score = (client.pick(3) << (8 * client.pick(4))) as u32;
                        let is_removed = client.pick(5) == 0;
                        let call = move || match is_removed {
                            true => Leaderboard::remove("b".into(), player.into()).map(drop),
                            false => {
                                Leaderboard::submit("b".into(), player.into(), score).map(drop)
                            }
                        };
                        let _ = client.call(call).await;
                    }
                });
            }
            sim.run();
        });
    }
}
