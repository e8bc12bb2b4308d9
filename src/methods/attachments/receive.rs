//! An upload on its way in: parts of a multipart body become files under `tmp`, hashed and synced, piece by piece, so that
//! no file is ever in memory as a whole (spec 03, section 5). It runs on the shard that accepted the connection.

use bytes::Bytes;
use model::Attachment;
use model::integrity::Algorithm;
use serde_json::Value;
use shards::{BodyReader, Lane, Pool, PoolError};
use storage::files::{FilesError, LocalFiles, ReceivedFile, Upload};
use wire::multipart::{Event, MultipartError, Parser, PartHead};

use super::files_error;
use crate::edge::{Body, parse_json};
use crate::error::{ApiError, ApiResult};
use crate::node::Node;

/// Bytes of a file gathered for one write.
const WRITE_BYTES: usize = 256 * 1024;
/// The part that is not a file: the event as JSON.
const FIELD_BYTES_MAX: usize = 1024 * 1024;
/// A longer content type of a file is not kept: it counts as bytes.
const TYPE_BYTES_MAX: usize = 255;
/// What a file is whose part does not tell (RFC 7578 4.4).
const TYPE_DEFAULT: &str = "text/plain";
const TYPE_UNKNOWN: &str = "application/octet-stream";

/// Files that came with a request. What has not found its place when this is dropped is removed.
pub struct Uploads {
    files: Vec<Uploaded>,
    pool: Pool,
}

struct Uploaded {
    file: ReceivedFile,
    name: String,
    kind: String,
}

impl std::fmt::Debug for Uploads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Uploads({})", self.files.len())
    }
}

impl Uploads {
    pub fn attachments(&self) -> impl Iterator<Item = Attachment> {
        self.files.iter().map(|Uploaded { file, name, kind }| Attachment {
            id: file.id.clone(),
            file_name: name.clone(),
            kind: kind.clone(),
            size: file.size,
            integrity: file.integrity.clone(),
        })
    }

    /// Moves the files to their event. A method that runs again may do it again.
    pub async fn place(&mut self, store: &LocalFiles, user: &model::UserId, event: &str) -> ApiResult<()> {
        let mut files = std::mem::take(&mut self.files);
        let (store, user, event) = (store.clone(), user.clone(), event.to_owned());
        let job = move || {
            let placed = store.place(&user, &event, files.iter_mut().map(|uploaded| &mut uploaded.file));
            (files, placed)
        };
        let (files, placed) = self.pool.run(Lane::File, job).await.map_err(|_| ApiError::busy())?;
        self.files = files;
        placed.map_err(files_error)
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        let files = std::mem::take(&mut self.files);
        if !files.is_empty() {
            // A full lane drops the job, and the files with it, here.
            let _ = self.pool.submit(Lane::File, move || drop(files));
        }
    }
}

/// Reads a body to its end. `file_bytes_max`: of each file.
pub async fn receive(node: &Node, body: BodyReader, boundary: &str) -> ApiResult<Body> {
    let mut receiver = Receiver {
        store: node.files.clone(),
        algorithm: node.config.attachment_integrity(),
        file_bytes_max: node.config.upload_bytes_max,
        field: None,
        part: Part::None,
        uploads: Uploads { files: Vec::new(), pool: node.pool.clone() },
    };
    let outcome = receiver.read(body, Parser::new(boundary)).await;
    // What is half there goes on the lane, too.
    if let Part::File(incoming) = std::mem::replace(&mut receiver.part, Part::None) {
        let _ = node.pool.submit(Lane::File, move || drop(incoming));
    }
    outcome?;
    let json = match receiver.field {
        Some(text) => parse_json(&text)?,
        None => Value::Object(serde_json::Map::new()),
    };
    Ok(Body::Multipart { json, uploads: receiver.uploads })
}

struct Receiver {
    store: LocalFiles,
    algorithm: Option<Algorithm>,
    file_bytes_max: u64,
    field: Option<Vec<u8>>,
    part: Part,
    uploads: Uploads,
}

/// The part that is being read.
enum Part {
    None,
    Field,
    File(Box<Incoming>),
    /// A form without a chosen file sends an empty one without a name.
    Ignored,
}

struct Incoming {
    name: String,
    kind: String,
    /// `None` until the first write.
    upload: Option<Upload>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    size: u64,
}

impl Receiver {
    async fn read(&mut self, mut body: BodyReader, mut parser: Parser) -> ApiResult<()> {
        loop {
            // The connection answers for a body that was cut; this text is never seen.
            let piece = body.next().await.map_err(|error| ApiError::invalid_structure(error.to_string()))?;
            let Some(piece) = piece else { break };
            parser.feed(&piece);
            while let Some(event) = parser.next().map_err(malformed)? {
                self.take(event).await?;
            }
        }
        parser.finish().map_err(malformed)
    }

    async fn take(&mut self, event: Event) -> ApiResult<()> {
        match event {
            Event::Part(head) => self.begin(head)?,
            Event::Data(data) => self.data(data).await?,
            Event::PartEnd => {
                if let Part::File(mut incoming) = std::mem::replace(&mut self.part, Part::None) {
                    let file = self.finish(&mut incoming).await?;
                    let Incoming { name, kind, .. } = *incoming;
                    self.uploads.files.push(Uploaded { file, name, kind });
                }
            }
            Event::End => {}
        }
        Ok(())
    }

    fn begin(&mut self, head: PartHead) -> ApiResult<()> {
        self.part = match head.file_name {
            Some(name) if name.is_empty() => Part::Ignored,
            Some(name) => {
                let kind = head.content_type.unwrap_or_else(|| TYPE_DEFAULT.to_owned());
                let kind = if kind.len() > TYPE_BYTES_MAX { TYPE_UNKNOWN.to_owned() } else { kind };
                let incoming = Incoming { name, kind, upload: None, gathered: Vec::new(), gathered_bytes: 0, size: 0 };
                Part::File(Box::new(incoming))
            }
            None if self.field.is_some() => {
                return Err(ApiError::invalid_structure(
                    "A multipart body takes one part that is not a file, at most.",
                ));
            }
            None => {
                self.field = Some(Vec::new());
                Part::Field
            }
        };
        Ok(())
    }

    async fn data(&mut self, data: Bytes) -> ApiResult<()> {
        match &mut self.part {
            Part::None | Part::Ignored => Ok(()),
            Part::Field => {
                let field = self.field.get_or_insert_default();
                if field.len() + data.len() > FIELD_BYTES_MAX {
                    let message = format!("The part with the event is larger than {FIELD_BYTES_MAX} bytes.");
                    return Err(ApiError::invalid_structure(message));
                }
                field.extend_from_slice(&data);
                Ok(())
            }
            Part::File(incoming) => {
                incoming.size += u64::try_from(data.len()).unwrap_or(u64::MAX);
                if incoming.size > self.file_bytes_max {
                    let message = format!("A file is larger than the {} bytes allowed here.", self.file_bytes_max);
                    return Err(ApiError::invalid_structure(message));
                }
                incoming.gathered_bytes += data.len();
                incoming.gathered.push(data);
                if incoming.gathered_bytes < WRITE_BYTES {
                    return Ok(());
                }
                let write = incoming.write(&self.store, self.algorithm);
                incoming.upload = Some(on_lane(&self.uploads.pool, write).await?);
                Ok(())
            }
        }
    }

    /// The last write and the sync.
    async fn finish(&self, incoming: &mut Incoming) -> ApiResult<ReceivedFile> {
        let write = incoming.write(&self.store, self.algorithm);
        on_lane(&self.uploads.pool, move || write()?.finish()).await
    }
}

impl Incoming {
    /// What writes the gathered pieces; the file is made by the first of them.
    fn write(
        &mut self,
        store: &LocalFiles,
        algorithm: Option<Algorithm>,
    ) -> impl FnOnce() -> Result<Upload, FilesError> + Send + 'static + use<> {
        let pieces = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        let upload = self.upload.take();
        let store = store.clone();
        move || {
            let mut upload = match upload {
                Some(upload) => upload,
                None => store.begin(algorithm)?,
            };
            pieces.iter().try_for_each(|piece| upload.write(piece))?;
            Ok(upload)
        }
    }
}

async fn on_lane<T: Send + 'static>(
    pool: &Pool,
    job: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> ApiResult<T> {
    match pool.run(Lane::File, job).await {
        Ok(done) => done.map_err(files_error),
        Err(PoolError::LaneFull(_)) => Err(ApiError::busy()),
        Err(error @ PoolError::Panicked(_)) => Err(ApiError::unexpected(error)),
    }
}

fn malformed(error: MultipartError) -> ApiError {
    ApiError::invalid_structure(format!("The multipart body cannot be read: {error}."))
}
