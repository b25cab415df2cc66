//! Opens the tables and brings them up to the log: at the start, after a failure, and when silver is made anew.

use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::super::intake::piece;
use super::super::seen::Seen;
use super::super::side::SideTable;
use super::super::topic::{self, Logged};
use super::super::{ipc, small_file};
use super::{Storage, Tables, Unit};
use crate::MedallionError;
use crate::event::{self, VERSION};
use crate::files::{PartSettings, Table, Writer, fault, parts, read_all, read_part};

impl Storage {
    /// After a failure: what the tables have on disk counts, the rest comes from the log again.
    pub(super) async fn reopen(&mut self, to: u64) -> Result<(), MedallionError> {
        self.state.tables = None;
        self.open(to).await
    }

    pub(super) async fn open_tables(&mut self) -> Result<Tables, MedallionError> {
        let schema = self.refiner.schema().await?;
        let whole = PartSettings {
            part_bytes_max: u64::MAX,
            part_age_max: Duration::MAX,
            ..self.parts
        };
        let table = |schema| Table {
            schema,
            schema_version: VERSION.into(),
        };
        let layout = &self.layout;
        let bronze = Writer::open_on(self.disk.clone(), &layout.bronze(), table(event::schema()), self.parts)?;
        let (_, head) = topic::bounds(&self.ledger)?;
        if let Some(end_offset) = bronze.durable_offset().filter(|end| *end > head) {
            return Err(MedallionError::AheadOfLog {
                folder: layout.bronze().display().to_string(),
                end_offset,
                head,
            });
        }
        self.remove_old_silver()?;
        if self.silver_is_other(&schema)? {
            tracing::warn!("silver has other columns or ids than are asked for now: it is made anew from bronze");
            self.set_silver_aside()?;
            self.remove_old_silver()?;
        }
        let silver = Writer::open_on(self.disk.clone(), &layout.silver(), table(schema), whole)?;
        let seen = self.load_seen(silver.durable_offset())?;
        Ok(Tables {
            rejects: SideTable::open(self.disk.clone(), layout.bronze_rejects(), whole)?,
            shed: SideTable::open(self.disk.clone(), layout.bronze_shed(), whole)?,
            silver_rejects: SideTable::open(self.disk.clone(), layout.silver_rejects(), whole)?,
            bronze,
            silver,
            seen,
        })
    }

    /// Whether silver was made with other columns, or with ids of another scheme, than the gate makes now.
    ///
    /// # Errors
    /// `OtherSchema` when it cannot be made anew, since bronze does not reach as far back.
    pub(super) fn silver_is_other(&self, schema: &SchemaRef) -> Result<bool, MedallionError> {
        let silver = parts(&self.layout.silver())?;
        let (Some(oldest), Some(newest)) = (silver.first(), silver.last()) else {
            return Ok(false);
        };
        if read_part(newest)?.schema() == *schema {
            return Ok(false);
        }
        let bronze = parts(&self.layout.bronze())?;
        if bronze
            .first()
            .is_none_or(|part| part.first_offset > oldest.first_offset)
        {
            return Err(MedallionError::OtherSchema {
                what: format!(
                    "{} has other columns or ids than the silver gate makes now (another gate, or telemetry.legacy_ids), \
                     and {} begins later, so that it cannot be made anew",
                    self.layout.silver().display(),
                    self.layout.bronze().display()
                ),
            });
        }
        Ok(true)
    }

    /// All of silver goes at once: what a kill left of removing it would look like silver.
    fn set_silver_aside(&self) -> Result<(), MedallionError> {
        let folder = self.layout.silver_root();
        let what = format!("rename {}", folder.display());
        std::fs::rename(&folder, self.layout.silver_old()).map_err(fault::io(what))
    }

    fn remove_old_silver(&self) -> Result<(), MedallionError> {
        let old = self.layout.silver_old();
        if old.exists() {
            let what = format!("remove {}", old.display());
            std::fs::remove_dir_all(&old).map_err(fault::io(what))?;
        }
        Ok(())
    }

    fn load_seen(&self, silver: Option<u64>) -> Result<Seen, MedallionError> {
        let Some(offset) = silver else {
            return Ok(Seen::default());
        };
        if let Some(bytes) = small_file::read(&self.layout.seen(offset)) {
            match Seen::load(&bytes) {
                Ok(seen) => return Ok(seen),
                Err(why) => tracing::warn!("what silver has is read from its files: the saved list is damaged: {why}"),
            }
        }
        let mut seen = Seen::default();
        for batch in read_all(&self.layout.silver())? {
            seen.fresh(&batch?).map_err(|why| MedallionError::Damaged {
                file: self.layout.silver().display().to_string(),
                why,
            })?;
        }
        Ok(seen)
    }

    /// Makes the silver of finished bronze parts that have none.
    pub(super) async fn catch_up_silver(&mut self) -> Result<(), MedallionError> {
        for part in parts(&self.layout.bronze())? {
            let Some(tables) = self.state.tables.as_mut() else {
                return Ok(());
            };
            if tables.silver.durable_offset().is_some_and(|end| part.end_offset <= end) {
                continue;
            }
            for batch in read_part(&part)? {
                let batch =
                    ipc::with_schema(&batch?, event::schema()).map_err(|error| MedallionError::OtherSchema {
                        what: error.to_string(),
                    })?;
                let mut done = 0;
                while done < batch.num_rows() {
                    let piece = piece(&batch, done);
                    done += piece.num_rows();
                    let refined = self.refiner.refine(&piece, &mut tables.seen).await?;
                    tables
                        .silver
                        .append(&refined.accepted, part.first_offset, Instant::now())?;
                    if let Some(rejected) = refined.rejected {
                        tables.silver_rejects.add(&rejected, part.end_offset)?;
                    }
                }
            }
            let nothing = RecordBatch::new_empty(tables.silver.schema());
            tables
                .silver
                .write(&nothing, part.first_offset..part.end_offset, Instant::now())?;
            tables.silver_rejects.finish(part.end_offset)?;
            tables.silver.finish()?;
            self.save_seen(part.end_offset)?;
        }
        Ok(())
    }

    /// Writes again what the log has and the tables have not.
    pub(super) async fn replay(&mut self, to: u64) -> Result<(), MedallionError> {
        let (first, head) = topic::bounds(&self.ledger)?;
        let durable = self
            .state
            .tables
            .as_ref()
            .and_then(|tables| tables.bronze.durable_offset());
        let committed = self.group.next();
        let mut offset = durable.map_or(committed, |durable| committed.min(durable)).max(first);
        let to = to.min(head);
        while offset < to {
            let events = topic::read(&self.ledger, offset)?;
            if events.is_empty() {
                return Err(MedallionError::NotRecorded {
                    why: format!("offset {offset} of {} is not there", topic::TOPIC),
                });
            }
            for event in events.into_iter().take_while(|event| event.offset < to) {
                offset = event.offset + 1;
                let mut unit = Unit {
                    events: RecordBatch::new_empty(event::schema()),
                    rejects: None,
                    shed: None,
                    end_offset: offset,
                    size_bytes: 0,
                    place: None,
                };
                match topic::decode(&event) {
                    Logged::Events(decided) => {
                        unit.shed = decided.shed()?;
                        unit.events = decided.kept_events()?;
                    }
                    Logged::Rejects(rejects) => unit.rejects = Some(rejects),
                    Logged::Levels(_) => {}
                    Logged::Other(why) => tracing::warn!(
                        offset = event.offset,
                        "an event of {} is passed over: {why}",
                        topic::TOPIC
                    ),
                }
                self.store(&unit).await?;
            }
        }
        self.state.stored_offset = self.state.stored_offset.max(offset);
        Ok(())
    }

    /// Makes silver and gold anew.
    pub(super) async fn rebuild(&mut self) -> Result<(), MedallionError> {
        self.finish().await?;
        self.state.tables = None;
        if self.layout.silver_root().exists() {
            self.set_silver_aside()?;
        }
        self.open(self.state.stored_offset).await?;
        self.refresh_gold(true)
    }
}
