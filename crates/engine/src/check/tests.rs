//! The runner: no check holds the others up, and none gets lost.

use super::*;
use crate::checks::testing::World;
use std::sync::Mutex;

/// A check that does what a test wants.
enum Odd {
    Good(&'static str),
    /// Answers after so many seconds.
    Slow(&'static str, u64),
    Hangs,
    Panics,
    SaysNothing,
}

impl Odd {
    fn finding(&self, outcome: Outcome) -> Finding {
        Finding::new(&self.spec(), "web-1", outcome, Text::new("fine", "正常"))
    }
}

#[async_trait]
impl Check for Odd {
    fn spec(&self) -> CheckSpec {
        let id = match self {
            Self::Good(id) | Self::Slow(id, _) => id,
            Self::Hangs => "P91",
            Self::Panics => "P92",
            Self::SaysNothing => "P93",
        };
        CheckSpec { id, title: ("Odd", "奇怪"), risks: &["R5"] }
    }

    async fn run(&self, _: &CheckContext) -> Vec<Finding> {
        match self {
            Self::Good(_) => vec![self.finding(Outcome::Pass)],
            Self::Slow(_, s) => {
                tokio::time::sleep(Duration::from_secs(*s)).await;
                vec![self.finding(Outcome::Pass)]
            }
            Self::Hangs => std::future::pending().await,
            Self::Panics => panic!("index out of bounds"),
            Self::SaysNothing => Vec::new(),
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(7)
    }
}

fn checks(list: Vec<Odd>) -> Vec<Arc<dyn Check>> {
    list.into_iter().map(|c| Arc::new(c) as Arc<dyn Check>).collect()
}

fn ids(list: &[Finding]) -> Vec<&str> {
    list.iter().map(|f| f.id.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_unknown_within_its_time_and_holds_nothing_up() {
    let began = Instant::now();
    let arrived = Mutex::new(Vec::new());
    let ctx = World::new("").ctx();
    let list = checks(vec![Odd::Hangs, Odd::Good("P1"), Odd::Slow("P2", 3), Odd::Hangs]);
    let found = run_all(list, &ctx, |f| {
        arrived.lock().unwrap().push((f.id.clone(), began.elapsed().as_secs()));
    })
    .await;
    assert_eq!(began.elapsed().as_secs(), 7, "two that hang take no longer than one");
    let arrived = arrived.into_inner().unwrap();
    assert_eq!(arrived[..2], [("P1".to_owned(), 0), ("P2".to_owned(), 3)], "told of as they end");
    assert_eq!(ids(&found), ["P91", "P1", "P2", "P91"], "and reported in the order of the list");
    let hung = &found[0];
    assert_eq!((hung.outcome, hung.millis, hung.subject.as_str()), (Outcome::Unknown, 7000, "web-1"));
    assert!(hung.summary.en.contains("no answer within 7 s") && hung.summary.zh.contains("7 秒内没有结果"));
    assert_eq!(hung.risks, ["R5".into()], "it keeps its risks, so that they are unknown, too");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_configuration_takes_the_place_of_the_checks_own() {
    let began = Instant::now();
    let ctx = World::new("[checks]\ntimeout = \"2s\"\n").ctx();
    let found = run_all(checks(vec![Odd::Hangs, Odd::Slow("P2", 3)]), &ctx, |_| ()).await;
    assert_eq!(began.elapsed().as_secs(), 2);
    assert!(found.iter().all(|f| f.outcome == Outcome::Unknown && f.millis == 2000), "{found:#?}");
}

#[tokio::test]
async fn a_check_that_panics_or_says_nothing_is_unknown_and_the_others_go_on() {
    let ctx = World::new("").ctx();
    let found = run_all(checks(vec![Odd::Panics, Odd::SaysNothing, Odd::Good("P1")]), &ctx, |_| ()).await;
    assert_eq!(ids(&found), ["P92", "P93", "P1"]);
    let outcomes: Vec<Outcome> = found.iter().map(|f| f.outcome).collect();
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::Unknown, Outcome::Pass]);
    assert!(found[0].summary.en.contains("the check itself crashed"), "{:?}", found[0]);
    assert!(found[1].summary.zh.contains("没有返回任何结果"), "{:?}", found[1]);
}

#[tokio::test]
async fn no_checks_make_no_findings_and_no_go() {
    let ctx = World::new("").ctx();
    let found = run_all(Vec::new(), &ctx, |_| panic!("nothing was looked at")).await;
    assert!(found.is_empty());
    let risks = crate::risk::RiskRegister::assess(&ctx.config, &found);
    assert_eq!(crate::verdict::Verdict::of(&risks, &found).decision, crate::verdict::Decision::Inconclusive);
}
