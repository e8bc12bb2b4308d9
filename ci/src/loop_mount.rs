//! A file system that can lose its power: an ext4 image on a loop device. ext4's shutdown ioctl drops everything that was
//! not synced, journal included.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{CiError, Result};
use crate::tools;

/// `_IOR('X', 125, __u32)` of the kernel's ext4.h.
const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written out.
const NO_LOG_FLUSH: u32 = 2;

pub(crate) struct LoopMount {
    image: PathBuf,
    mount_point: PathBuf,
    is_mounted: bool,
    is_kept: bool,
}

impl LoopMount {
    /// Makes and mounts the image; the error says why this machine cannot.
    pub(crate) fn prepare(folder: &Path, image_bytes: u64) -> Result<Self> {
        tools::need("mkfs.ext4", "e2fsprogs")?;
        let (image, mount_point) = (folder.join("disk.img"), folder.join("mnt"));
        std::fs::create_dir_all(&mount_point).map_err(CiError::file(&mount_point))?;
        let file = std::fs::File::create(&image).map_err(CiError::file(&image))?;
        file.set_len(image_bytes).map_err(CiError::file(&image))?;
        tools::output(Command::new("mkfs.ext4").arg("-q").arg("-F").arg(&image))?;
        let mut mount = Self { image, mount_point, is_mounted: false, is_kept: false };
        mount.mount()?;
        Ok(mount)
    }

    /// Leaves the image, unmounted, for inspection.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }

    pub(crate) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    /// A file beside the image, which no cut touches.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.image.with_file_name(name)
    }

    /// From here on nothing gets to the image any more, and what was not synced never will.
    pub(crate) fn shut_down(&self) -> Result<()> {
        let folder = std::fs::File::open(&self.mount_point).map_err(CiError::file(&self.mount_point))?;
        match shutdown_ioctl(&folder) {
            0 => Ok(()),
            _ => {
                let error = std::io::Error::last_os_error();
                Err(CiError::format(&self.mount_point, format!("EXT4_IOC_SHUTDOWN: {error}")))
            }
        }
    }

    /// The power is back. No file may be open.
    pub(crate) fn mount_again(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
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

impl Drop for LoopMount {
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

#[allow(unsafe_code, reason = "no crate wraps this ioctl")]
fn shutdown_ioctl(folder: &std::fs::File) -> libc::c_int {
    // SAFETY: the descriptor is open for the whole call, and the kernel only reads the one u32 behind the pointer.
    unsafe { libc::ioctl(folder.as_raw_fd(), EXT4_IOC_SHUTDOWN, std::ptr::from_ref(&NO_LOG_FLUSH)) }
}
