//! Query strings and urlencoded forms.
