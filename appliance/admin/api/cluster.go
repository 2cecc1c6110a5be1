package api

import "time"

// Cluster is the cluster as a node sees it.
type Cluster struct {
	Cluster   string        `json:"cluster,omitempty" doc:"Id of the cluster; absent: the node is alone"`
	Founded   *time.Time    `json:"founded,omitempty"`
	Authority *time.Time    `json:"authorityExpires,omitempty" doc:"When the certificate of the cluster's authority expires"`
	Nodes     []ClusterNode `json:"nodes"`
	Tokens    []JoinToken   `json:"tokens"`
}

// ClusterNode is one node of the cluster.
type ClusterNode struct {
	Node               string    `json:"node" doc:"Number, 16 hexadecimal digits"`
	Name               string    `json:"name"`
	Address            string    `json:"address" doc:"Where other nodes reach it"`
	Role               string    `json:"role" enum:"voter,replica" doc:"What it is to be"`
	Votes              bool      `json:"votes" doc:"Whether it counts for a quorum now; a voter does once it has caught up and the number of voters stays odd"`
	Leader             bool      `json:"leader"`
	Self               bool      `json:"self" doc:"True for the node that answers"`
	Version            string    `json:"version"`
	Joined             time.Time `json:"joined"`
	By                 string    `json:"by,omitempty"`
	CertificateSerial  string    `json:"certificateSerial"`
	CertificateExpires time.Time `json:"certificateExpires"`
	Answers            bool      `json:"answers" doc:"Whether it told just now how it stands"`
	Trouble            string    `json:"trouble,omitempty" doc:"Why it did not"`
	State              string    `json:"state,omitempty"`
	Term               uint64    `json:"term,omitempty"`
	Committed          uint64    `json:"committed,omitempty"`
	Applied            uint64    `json:"applied,omitempty"`
	Lag                uint64    `json:"lag" doc:"Entries that it has to apply still, as far as the nodes that answer know"`
	SealIndex          uint64    `json:"sealIndex,omitempty"`
	HistoryFrom        uint64    `json:"historyFrom,omitempty" doc:"Its history misses nothing from this entry on"`
	Diverged           bool      `json:"diverged,omitempty" doc:"Its state is not that of the others"`
	DiskFree           int64     `json:"diskFree,omitempty"`
	DiskLevel          int       `json:"diskLevel,omitempty" doc:"0: enough space; 1, 2, 3: below that many watermarks"`
}

// JoinToken is a token by which one node may join, without its secret.
type JoinToken struct {
	ID      string    `json:"id"`
	Role    string    `json:"role" enum:"voter,replica"`
	Expires time.Time `json:"expires"`
	Expired bool      `json:"expired,omitempty"`
	By      string    `json:"by,omitempty"`
}

// TokenRequest asks for a token by which one node may join.
type TokenRequest struct {
	Role    string `json:"role,omitempty" enum:"voter,replica" doc:"What the node becomes; absent: voter"`
	Minutes int    `json:"minutes,omitempty" minimum:"1" maximum:"1440" doc:"How long the token is good; absent: 15"`
}

// NewJoinToken is a token that was just made, with the text that the node joins by.
type NewJoinToken struct {
	JoinToken
	Token string `json:"token" doc:"What the node joins by. It cannot be shown again"`
}

// RoleRequest says what a node is to be.
type RoleRequest struct {
	Role string `json:"role" enum:"voter,replica"`
}

// TransferRequest says which node is to lead.
type TransferRequest struct {
	Node string `json:"node,omitempty" maxLength:"64" doc:"Name or number; absent: whoever has the most of the log"`
}
