module lateen/pause

go 1.25
