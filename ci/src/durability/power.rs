//! A power cut without a power switch: the data lies on an ext4 image on a loop device, and ext4's shutdown ioctl drops
//! everything that was not synced, journal included, while the server is at work.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::load::Signals;
use super::{Outage, unusable};
use crate::error::{CiError, Result};
use crate::server::Server;
use crate::tools;

const IMAGE_BYTES: u64 = 4 << 30;
/// `_IOR('X', 125, __u32)` of the kernel's ext4.h.
const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written out.
const NO_LOG_FLUSH: u32 = 2;
/// The server goes on for so long on the dead disk: an answer 200 in this time would be a lie that the comparison finds.
const AGONY: Duration = Duration::from_millis(100);

pub(super) struct PowerCut {
    image: PathBuf,
    mount_point: PathBuf,
    is_mounted: bool,
    is_kept: bool,
}

impl PowerCut {
    /// Makes and mounts the image; the error says why this machine cannot.
    pub(super) fn prepare(folder: &Path) -> Result<Self> {
        tools::need("mkfs.ext4", "e2fsprogs")?;
        let (image, mount_point) = (folder.join("disk.img"), folder.join("mnt"));
        std::fs::create_dir_all(&mount_point).map_err(CiError::file(&mount_point))?;
        let file = std::fs::File::create(&image).map_err(CiError::file(&image))?;
        file.set_len(IMAGE_BYTES).map_err(CiError::file(&image))?;
        tools::output(Command::new("mkfs.ext4").arg("-q").arg("-F").arg(&image))?;
        let mut cut = Self { image, mount_point, is_mounted: false, is_kept: false };
        cut.mount()?;
        Ok(cut)
    }

    /// Leaves the image, unmounted, for inspection.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// From here on every write and sync of the file system fails.
    pub(super) fn shut_down(&self) -> Result<()> {
        shut_down(&self.mount_point)
    }

    fn mount(&mut self) -> Result<()> {
        tools::output(
            Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(&self.image).arg(&self.mount_point),
        )?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        tools::output(Command::new("umount").arg(&self.mount_point))?;
        self.is_mounted = false;
        Ok(())
    }
}

impl Outage for PowerCut {
    fn folder(&self) -> PathBuf {
        self.mount_point.join("server")
    }

    fn log(&self) -> PathBuf {
        self.image.with_file_name("server.log")
    }

    fn strike(&mut self, server: &mut Server, signals: &Signals) -> Result<()> {
        self.shut_down()?;
        signals.declare_disk_dead();
        std::thread::sleep(AGONY);
        server.kill()?;
        self.unmount()?;
        self.mount()
    }
}

impl Drop for PowerCut {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(error) = self.unmount()
        {
            println!("  {}: still mounted: {error}", self.mount_point.display());
        }
        if self.is_kept {
            println!("  the disk image is {}", self.image.display());
        }
    }
}

fn shut_down(mount_point: &Path) -> Result<()> {
    let folder = std::fs::File::open(mount_point).map_err(CiError::file(mount_point))?;
    match shutdown_ioctl(&folder) {
        0 => Ok(()),
        _ => Err(unusable(mount_point, format!("EXT4_IOC_SHUTDOWN: {}", std::io::Error::last_os_error()))),
    }
}

#[allow(unsafe_code, reason = "no crate wraps this ioctl")]
fn shutdown_ioctl(folder: &std::fs::File) -> libc::c_int {
    // SAFETY: the descriptor is open for the whole call, and the kernel only reads the one u32 behind the pointer.
    unsafe { libc::ioctl(folder.as_raw_fd(), EXT4_IOC_SHUTDOWN, std::ptr::from_ref(&NO_LOG_FLUSH)) }
}
