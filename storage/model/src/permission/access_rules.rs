//! Who may see, make, change and delete an access (Pryv: accesses, "who may create what").

use serde_json::json;

use super::account_streams::ACCOUNT_ROOT;
use super::caller::{Caller, Refused, feature_of};
use super::grant::{Grant, Right};
use super::level::Levels;
use super::reserved::{FORBIDDEN_CHARACTERS, Store};
use crate::access::{Access, AccessKind, Level, Permission};
use crate::time::Seconds;

const FORBIDDEN: &str = "forbidden";
const SECRET_SHARING: &str = "secretSharing";

/// What `accesses.create` asks for, as far as rights are concerned.
#[derive(Clone, Copy, Debug)]
pub struct NewAccess<'a> {
    pub kind: AccessKind,
    pub permissions: &'a [Permission],
    pub expires: Option<Seconds>,
}

/// What `accesses.update` changes, as far as rights are concerned.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessChange<'a> {
    pub permissions: Option<&'a [Permission]>,
    /// `Some(None)` clears the expiry.
    pub expires: Option<Option<Seconds>>,
}

impl Access {
    /// Base id of the access that made this one, without its version and caller id.
    pub fn creator_base_id(&self) -> &str {
        let author = self.created_by.split(' ').next().unwrap_or_default();
        author.split(':').next().unwrap_or_default()
    }
}

impl Caller<'_> {
    /// For personal and app accesses; which ones each sees says [`Self::lists_access`].
    pub fn list_accesses(&self) -> Result<Grant, Refused> {
        self.not_shared()?;
        Ok(self.grant(Right::Read))
    }

    /// An app sees those that it made itself, without a caller id.
    pub fn lists_access(&self, target: &Access) -> bool {
        match self.access.kind {
            AccessKind::Personal => true,
            AccessKind::App => target.created_by == self.access.id,
            AccessKind::Shared => false,
        }
    }

    /// `accesses.getOne`.
    pub fn see_access(&self, target: &Access) -> Result<Grant, Refused> {
        self.not_shared()?;
        let own = target.id == self.access.id || target.creator_base_id() == self.access.id;
        if self.is_personal() || own {
            return Ok(self.grant(Right::Read));
        }
        Err(Refused::Unknown(format!("Unknown access \"{}\"", target.id)))
    }

    pub fn create_access(&self, new: &NewAccess<'_>) -> Result<Grant, Refused> {
        self.not_shared()?;
        if new.kind == AccessKind::Personal {
            return Err(Refused::Forbidden("Personal accesses are created automatically on login.".into()));
        }
        check_characters(new.permissions)?;
        if !self.is_personal() {
            if new.kind == AccessKind::App {
                return Err(Refused::Forbidden("An app access can only create shared accesses.".into()));
            }
            self.can_give(new.permissions).map_err(Refused::Forbidden)?;
        }
        not_later(self.access.expires, new.expires)?;
        self.check_account_permissions(new.permissions)?;
        Ok(self.grant(Right::Write))
    }

    /// The permissions that are stored for a new access: a restriction of the creator stays on.
    pub fn inherited_permissions(&self, mut permissions: Vec<Permission>) -> Vec<Permission> {
        let kept = feature_of(&permissions, SECRET_SHARING) == Some(FORBIDDEN);
        if self.feature(SECRET_SHARING) == Some(FORBIDDEN) && !kept {
            permissions.push(Permission::Feature { feature: SECRET_SHARING.into(), setting: FORBIDDEN.into() });
        }
        permissions
    }

    /// `manager`: the live access that made the target; `children`: live shared accesses that the target made.
    pub fn update_access(
        &self,
        target: &Access,
        change: &AccessChange<'_>,
        manager: Option<&Access>,
        children: &[&Access],
    ) -> Result<Grant, Refused> {
        self.not_shared()?;
        let is_own_child = target.kind == AccessKind::Shared && target.creator_base_id() == self.access.id;
        let allowed =
            target.id != self.access.id && target.kind != AccessKind::Personal && (self.is_personal() || is_own_child);
        if !allowed {
            return Err(Refused::Forbidden(format!("This token may not change access \"{}\".", target.id)));
        }
        if let Some(permissions) = change.permissions {
            check_characters(permissions)?;
        }
        match (target.kind, manager) {
            (AccessKind::Shared, Some(manager)) => self.check_manager(manager, change)?,
            (AccessKind::App, _) => self.check_children(target, change, children)?,
            _ => {}
        }
        let grant =
            Grant::checked(self.user.clone(), self.slot, self.versioned_author(), Right::Write, self.space_version);
        Ok(grant)
    }

    /// Any token may try: itself, all for the user, the own children for an app.
    pub fn delete_access(&self, target: &Access) -> Result<Grant, Refused> {
        let allowed = match self.access.kind {
            AccessKind::Personal => true,
            _ if target.id == self.access.id => self.feature("selfRevoke") != Some(FORBIDDEN),
            AccessKind::App => target.created_by == self.access.id,
            AccessKind::Shared => false,
        };
        if allowed {
            return Ok(self.grant(Right::Write));
        }
        Err(Refused::Forbidden(format!("This token may not delete access \"{}\".", target.id)))
    }

    fn not_shared(&self) -> Result<(), Refused> {
        if self.access.kind == AccessKind::Shared {
            return Err(Refused::kind("a personal or app access token"));
        }
        Ok(())
    }

    /// Whether this app may hand out these permissions; the error says which one it may not.
    fn can_give(&self, permissions: &[Permission]) -> Result<(), String> {
        let levels = Levels::new(self);
        let mut stream_permissions = 0;
        for permission in permissions {
            match permission {
                Permission::Stream { stream_id, level } => {
                    stream_permissions += 1;
                    let own = levels.of(stream_id);
                    if !own.is_some_and(|own| own.rank() >= level.rank() && own != Level::CreateOnly) {
                        let own = own.map_or("no level", Level::as_str);
                        return Err(format!(
                            "Permission \"{}\" on stream \"{stream_id}\" exceeds the creator's own ({own}).",
                            level.as_str()
                        ));
                    }
                }
                Permission::Feature { feature, setting } => {
                    if !self.can_give_feature(feature, setting) {
                        return Err(format!(
                            "Feature permission \"{feature}: {setting}\" may not be given by this access."
                        ));
                    }
                }
            }
        }
        if stream_permissions == 0 {
            return Err("An app access must give at least one stream permission.".into());
        }
        Ok(())
    }

    fn can_give_feature(&self, feature: &str, setting: &str) -> bool {
        let own = self.feature(feature);
        match feature {
            "selfRevoke" | SECRET_SHARING => own != Some(FORBIDDEN) || own == Some(setting),
            "selfAudit" => own.is_none() || own == Some(setting),
            _ => false,
        }
    }

    /// Account streams can be opened for reading and contributing only, and only those that are shown.
    fn check_account_permissions(&self, permissions: &[Permission]) -> Result<(), Refused> {
        for permission in permissions {
            let Permission::Stream { stream_id, level } = permission else { continue };
            if Store::of(stream_id) != Store::Account {
                continue;
            }
            if !self.account_streams.contains(stream_id) {
                return Err(Refused::Forbidden(format!("Forbidden: \"{stream_id}\" is not an account stream.")));
            }
            let too_high = *level == Level::Manage && stream_id != ACCOUNT_ROOT;
            if too_high || self.account_streams.is_hidden(stream_id) {
                let message = if too_high {
                    format!(
                        "Account stream \"{stream_id}\" can be given with level read, create-only or contribute only."
                    )
                } else {
                    format!("Account stream \"{stream_id}\" cannot be given to an access.")
                };
                return Err(Refused::InvalidOperation { message, data: json!({ "param": stream_id }) });
            }
        }
        Ok(())
    }

    /// The changed access must still fit into the one that made it.
    fn check_manager(&self, manager: &Access, change: &AccessChange<'_>) -> Result<(), Refused> {
        let manager_caller = Caller { access: manager, ..*self };
        if let Some(permissions) = change.permissions {
            let stripped = manager_caller.feature(SECRET_SHARING) == Some(FORBIDDEN)
                && feature_of(permissions, SECRET_SHARING) != Some(FORBIDDEN);
            let fits = !stripped && (manager_caller.is_personal() || manager_caller.can_give(permissions).is_ok());
            if !fits {
                return Err(Refused::InvalidOperation {
                    message: format!("The permissions exceed those of the managing access \"{}\".", manager.id),
                    data: json!({ "managingAccessId": manager.id }),
                });
            }
        }
        // Clearing the expiry is not blocked.
        change.expires.map_or(Ok(()), |expires| not_later(manager.expires, expires))
    }

    /// What the changed access has given away must still fit into it.
    fn check_children(&self, target: &Access, change: &AccessChange<'_>, children: &[&Access]) -> Result<(), Refused> {
        if change.permissions.is_none() && change.expires.is_none() {
            return Ok(());
        }
        let mut changed = target.clone();
        if let Some(permissions) = change.permissions {
            changed.permissions = permissions.to_vec();
        }
        changed.expires = change.expires.unwrap_or(target.expires);
        let parent = Caller { access: &changed, ..*self };
        let too_late = |child: &Access| matches!((changed.expires, child.expires), (Some(p), Some(c)) if c > p);
        let offends = |child: &&&Access| {
            let exceeds = change.permissions.is_some() && parent.can_give(&child.permissions).is_err();
            exceeds || (change.expires.is_some() && too_late(child))
        };
        let offending: Vec<&str> = children.iter().filter(offends).map(|child| child.id.as_str()).collect();
        if offending.is_empty() {
            return Ok(());
        }
        Err(Refused::InvalidOperation {
            message: "Accesses made by this one would exceed it: change or delete them first.".into(),
            data: json!({ "offendingChildren": offending }),
        })
    }
}

fn check_characters(permissions: &[Permission]) -> Result<(), Refused> {
    for permission in permissions {
        if let Permission::Stream { stream_id, .. } = permission
            && stream_id.contains(FORBIDDEN_CHARACTERS)
        {
            return Err(Refused::InvalidStructure(format!("forbidden character(s) in streamId {stream_id:?}")));
        }
    }
    Ok(())
}

/// Without an expiry of its own a child of an expiring access is accepted.
fn not_later(parent: Option<Seconds>, child: Option<Seconds>) -> Result<(), Refused> {
    match (parent, child) {
        (Some(parent), Some(child)) if child > parent => Err(Refused::InvalidOperation {
            message: "An access cannot expire later than the access that made it.".into(),
            data: json!({ "parentExpires": parent, "requestedExpires": child }),
        }),
        _ => Ok(()),
    }
}
