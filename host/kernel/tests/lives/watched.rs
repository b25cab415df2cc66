//! Watched folders over a real kernel: what is laid into one is published, what is refused is said once.

use std::path::Path;
use std::time::{Duration, Instant};

use kinetic_kernel::{SwapSettings, WatchSettings, WatchState, Watched};
use tokio::task::JoinHandle;

use crate::kit::{Kind, World, urn, version};

/// How long is waited for what has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A world that watches a folder.
struct Watching {
    world: World,
    folder: tempfile::TempDir,
    task: JoinHandle<()>,
}

fn look(world: &World, folder: &Path) -> JoinHandle<()> {
    let settings = WatchSettings {
        folders: vec![folder.join("capsules")],
        interval_ms: 10,
    };
    tokio::spawn(world.kernel.clone().watch(settings))
}

impl Watching {
    fn start() -> Self {
        let world = World::start(SwapSettings::default());
        let folder = tempfile::tempdir().unwrap();
        let task = look(&world, folder.path());
        Self { world, folder, task }
    }

    /// Writes a version into a capsule folder beside the watched one, and moves it in.
    fn lay(&self, entry: &str, minor: u64, kind: Kind) {
        let beside = self.folder.path().join("beside");
        let (manifest, receipt, component) = self.world.publication(minor, kind);
        std::fs::create_dir_all(&beside).unwrap();
        std::fs::write(beside.join("component.wasm"), component).unwrap();
        std::fs::write(beside.join("manifest.json"), manifest).unwrap();
        std::fs::write(beside.join("receipt.json"), receipt.to_string()).unwrap();
        let capsules = self.folder.path().join("capsules");
        std::fs::create_dir_all(&capsules).unwrap();
        let there = capsules.join(entry);
        if there.exists() {
            std::fs::remove_dir_all(&there).unwrap();
        }
        std::fs::rename(&beside, there).unwrap();
    }

    async fn wait_for(&self, entry: &str, what: impl Fn(&Watched) -> bool) -> Watched {
        let begun = Instant::now();
        let entry = format!("capsules/{entry}");
        loop {
            let all = self.world.kernel.watched();
            if let Some(found) = all.iter().find(|watched| watched.entry == entry && what(watched)) {
                return found.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {all:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn taken(&self, entry: &str, minor: u64) {
        let is = |watched: &Watched| watched.state == WatchState::Taken && watched.version == Some(version(minor));
        self.wait_for(entry, is).await;
    }

    /// The host ends, and starts again on the same folders.
    async fn restart(self) -> Self {
        self.task.abort();
        let _ = self.task.await;
        let world = self.world.restart().await;
        let task = look(&world, self.folder.path());
        Self { world, task, ..self }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_laid_into_a_watched_folder_is_published_and_a_newer_version_takes_its_place() {
    let watching = Watching::start();
    watching.lay("versioned", 0, Kind::Good);
    watching.taken("versioned", 0).await;
    assert_eq!(watching.world.call().await, Ok(0));
    watching.lay("versioned", 1, Kind::Good);
    watching.taken("versioned", 1).await;
    assert_eq!(watching.world.call().await, Ok(1));
    let shown = watching.world.kernel.processes();
    assert_eq!(shown[0].generation, 2);
    assert_eq!(shown[0].stands_by, Some(version(0)), "it is on probation");
    let causes = watching.world.causes().await;
    assert!(
        causes.contains(&("active".into(), "watched".into()))
            && causes.contains(&("discovered".into(), "watched".into())),
        "{causes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_store_already_is_left_as_it_is_at_a_restart() {
    let watching = Watching::start();
    watching.lay("versioned", 0, Kind::Good);
    watching.taken("versioned", 0).await;
    let watching = watching.restart().await;
    watching.taken("versioned", 0).await;
    let shown = watching.world.kernel.processes();
    assert_eq!((shown.len(), shown[0].generation), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_version_is_refused_and_said_once_and_the_one_before_goes_on() {
    let watching = Watching::start();
    watching.lay("versioned", 0, Kind::Good);
    watching.taken("versioned", 0).await;
    watching.lay("versioned", 1, Kind::TrapsAtStart);
    let refused = |watched: &Watched| watched.state == WatchState::Refused;
    let shown = watching.wait_for("versioned", refused).await;
    assert!(shown.code.is_some() && shown.message.is_some(), "{shown:?}");
    assert_eq!(watching.world.kernel.quarantined().len(), 1);
    assert_eq!(watching.world.call().await, Ok(0));
    // Another one in between shows that the folder was looked at many times.
    watching.lay("other", 2, Kind::Good);
    watching.taken("other", 2).await;
    let said = watching.world.events("watched").await;
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!(said[0]["entry"], "capsules/versioned");
    assert_eq!(watching.world.call().await, Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_key_is_not_trusted_is_taken_when_it_is() {
    let watching = Watching::start();
    let trusted = watching.world.distrust("acme");
    watching.lay("versioned", 0, Kind::Good);
    watching
        .wait_for("versioned", |watched| watched.state == WatchState::Refused)
        .await;
    watching.world.trust_root(&trusted);
    watching.taken("versioned", 0).await;
    assert_eq!(watching.world.call().await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capsule_folder_that_goes_away_unloads_nothing() {
    let watching = Watching::start();
    watching.lay("versioned", 0, Kind::Good);
    watching.taken("versioned", 0).await;
    std::fs::remove_dir_all(watching.folder.path().join("capsules/versioned")).unwrap();
    let begun = Instant::now();
    while !watching.world.kernel.watched().is_empty() {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(watching.world.call().await, Ok(0));
    assert!(watching.world.kernel.resolve(&urn().into()).is_some());
}
