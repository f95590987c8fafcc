//! A backup at any time, outside of a run. It changes nothing that users see, so it needs no journal and no lock.

use crate::{
    api::{ApiError, ErrorKind},
    context::Context,
    paths::private_dir,
    world::remove_scratch,
};
use jiff::Timestamp;
use safelight_engine::{
    driver::database::{Backup, BackupLevel, DatabaseError, RestoreProof},
    text::Text,
};

/// Copies the live database, restores the copy into a scratch database, queries it there, and keeps the copy among
/// those of runs.
///
/// # Errors
/// When there is no database, or a copy of it cannot be made or proven. A copy that cannot be proven is kept, and never
/// restored by itself.
pub async fn back_up_now(ctx: &Context) -> Result<(Backup, RestoreProof), ApiError> {
    let Some(db) = &ctx.database else {
        let what = Text::new("the configuration has no [database]", "配置中没有 [database]");
        return Err(ApiError::new(ErrorKind::Usage, what));
    };
    let name = format!("by-hand-{}", Timestamp::now().strftime("%Y%m%d-%H%M%S-%3f"));
    let files = [ctx.dirs.backups(), ctx.dirs.scratch()];
    for dir in &files {
        private_dir(dir).map_err(|e| ApiError::failed(format!("{}: {e}", dir.display())))?;
    }
    let [target, scratch] = files.map(|dir| dir.join(format!("{name}.db")));
    let keep = |backup: &Backup| {
        ctx.store.put_backup(ctx.app(), &ctx.env_name, &name, backup).map_err(ApiError::failed)
    };
    let mut backup = db.back_up(&target).await.map_err(failed)?;
    keep(&backup)?;
    let proof = db.prove(&backup, &scratch).await;
    // It has served its purpose; one that cannot be removed is only in the way.
    if let Err(e) = remove_scratch(&scratch) {
        tracing::warn!("{e}");
    }
    let proof = proof.map_err(failed)?;
    backup.level = BackupLevel::RestoredAndQueried;
    keep(&backup)?;
    Ok((backup, proof))
}

fn failed(e: DatabaseError) -> ApiError {
    ApiError::failed(e)
}
