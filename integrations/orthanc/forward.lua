-- Sends each study with MR images of a head to scanweave once nothing came for StableAge seconds (Orthanc's Lua API).
local HEAD = {"head", "brain", "neuro", "schaedel", "schädel", "cerveau", "cerebr"}

local function names_head(text)
  text = string.lower(text or "")
  for _, word in ipairs(HEAD) do
    if string.find(text, word, 1, true) then return true end
  end
  return false
end

function OnStableStudy(studyId, tags, metadata)
  local study = ParseJson(RestApiGet("/studies/" .. studyId))
  local magnetic, head = false, names_head(tags["StudyDescription"])
  for _, seriesId in ipairs(study["Series"]) do
    local series = ParseJson(RestApiGet("/series/" .. seriesId))["MainDicomTags"]
    magnetic = magnetic or series["Modality"] == "MR"
    head = head or names_head(series["BodyPartExamined"]) or names_head(series["ProtocolName"])
  end
  if magnetic and head then
    RestApiPost("/modalities/scanweave/store", DumpJson({Resources = {studyId}, Asynchronous = true}, true))
  end
end
