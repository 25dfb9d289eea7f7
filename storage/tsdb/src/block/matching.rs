//! From matchers to series of a block. The meaning is that of the head (`head/matching.rs`); other than there, a set costs a
//! read. So small sets come first, and a matcher whose sets are large beside what is left is put to the labels later.

use model::Matcher;

use super::index::read_lists;
use super::items::Wanted;
use super::{Block, BlockError, BlockSource, SeriesEntryRef};
use crate::head::{Decisive, decisive, intersect, subtract};

/// Bytes of lists that cost as much as reading one series' entry, roughly.
const LIST_BYTES_PER_SERIES: u64 = 256;
/// Lists that are in memory at once on the way to their union.
const LIST_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Effect {
    Select,
    Subtract,
}

/// A matcher and the lists that answer it.
struct Plan<'a> {
    effect: Effect,
    bytes: u64,
    lists: Vec<Wanted>,
    matcher: &'a Matcher,
}

/// Series, and what they still have to be asked.
#[derive(Default, Debug)]
pub(super) struct Selection {
    pub(super) series: Vec<SeriesEntryRef>,
    pub(super) matchers: Vec<Matcher>,
}

pub(super) async fn resolve<S: BlockSource>(block: &Block<S>, matchers: &[Matcher]) -> Result<Selection, BlockError> {
    let mut plans: Vec<Plan<'_>> = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        if block.postings.has_name(&matcher.name) {
            plans.push(plan(block, matcher));
        } else if !matcher.matches_empty() {
            return Ok(Selection::default());
        }
    }
    plans.sort_by_key(|plan| (plan.effect, plan.bytes));
    let mut plans = plans.into_iter().peekable();
    let mut kept = match plans.next_if(|plan| plan.effect == Effect::Select) {
        Some(plan) => union(block, plan.lists).await?,
        None => union(block, block.postings.all().into_iter().collect()).await?,
    };
    let mut later = Vec::new();
    for plan in plans {
        if kept.is_empty() {
            break;
        }
        if plan.bytes > LIST_BYTES_PER_SERIES * kept.len() as u64 {
            later.push(plan.matcher.clone());
            continue;
        }
        let set = union(block, plan.lists).await?;
        match plan.effect {
            Effect::Select => intersect(&mut kept, &set),
            Effect::Subtract => subtract(&mut kept, &set),
        }
    }
    Ok(Selection { series: kept.into_iter().map(SeriesEntryRef).collect(), matchers: later })
}

fn plan<'a, S: BlockSource>(block: &Block<S>, matcher: &'a Matcher) -> Plan<'a> {
    let effect = if matcher.matches_empty() { Effect::Subtract } else { Effect::Select };
    let name = &*matcher.name;
    let mut lists: Vec<Wanted> = match decisive(matcher) {
        Decisive::Values(values) => values.iter().filter_map(|value| block.postings.find(name, value)).collect(),
        Decisive::Any => block.postings.values(name).map(|(_, list)| list).collect(),
        Decisive::Expression => {
            let is_picked = |value: &str| matcher.matches(value) == (effect == Effect::Select);
            block.postings.values(name).filter(|(value, _)| is_picked(value)).map(|(_, list)| list).collect()
        }
    };
    lists.sort_unstable_by_key(|list| list.at);
    lists.dedup_by_key(|list| list.at);
    let bytes = lists.iter().fold(0u64, |sum, list| sum.saturating_add(list.guess_bytes));
    Plan { effect, bytes, lists, matcher }
}

/// All series of the lists, which are sorted by place. A series has one value of a name, so lists are mostly disjoint.
async fn union<S: BlockSource>(block: &Block<S>, lists: Vec<Wanted>) -> Result<Vec<u32>, BlockError> {
    let mut all: Vec<u32> = Vec::new();
    let mut rest = &lists[..];
    while !rest.is_empty() {
        let mut bytes = 0u64;
        let count = rest.iter().take_while(|list| {
            bytes = bytes.saturating_add(list.guess_bytes);
            bytes <= LIST_BYTES_MAX
        });
        let (now, later) = rest.split_at(count.count().max(1));
        for list in read_lists(&block.source, &block.contents, now).await? {
            all.extend(list);
        }
        rest = later;
    }
    if lists.len() > 1 {
        all.sort_unstable();
        all.dedup();
    }
    Ok(all)
}
