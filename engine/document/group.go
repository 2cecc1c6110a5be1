package document

// Group is a group of people. Groups nest: whoever belongs to a group belongs to the one above it.
type Group struct {
	// Description is free text.
	Description string `json:"description"`
	// Parent names the Group above this one.
	Parent string `json:"parent" ref:"Group"`
	// Reply lists what an Access-Accept for a member carries, a line an attribute: `Tunnel-Type:1 = VLAN`. A line with `=` counts unless the attribute was set by a template that comes first; a line with `+=` adds a value.
	Reply []string `json:"reply"`
	// Roles lists the roles that each member has, also through the groups below this one.
	Roles []Grant `json:"roles"`
	// Sessions limits simultaneous use by each member.
	Sessions Sessions `json:"sessions"`
}

// Sessions limits simultaneous use.
type Sessions struct {
	// Limit is how many network sessions a person may have at a time; 0 means as many as he likes.
	Limit int `json:"limit" min:"0" max:"65535"`
}

func (*Group) kind() string { return KindGroup }

func (g *Group) normalise() {}

// EntityGroup is a group of identity providers and service providers, which conditions can ask for.
type EntityGroup struct {
	// Description is free text.
	Description string `json:"description"`
	// MetadataURL is where the metadata of an external group is fetched from.
	MetadataURL string `json:"metadataURL" later:"SAML metadata"`
}

func (*EntityGroup) kind() string { return KindEntityGroup }

func (g *EntityGroup) normalise() {}
