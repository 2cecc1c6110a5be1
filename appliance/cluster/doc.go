// Package cluster is what makes nodes a cluster: its authority and the certificates of its nodes, the tokens by which nodes join, the
// conversation of joining, and the care for members: who votes, who only follows, who is out. It moves no records and elects nobody: raftstore does.
package cluster
