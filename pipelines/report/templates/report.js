{
  const { figures, twins } = JSON.parse(document.getElementById("report-data").textContent);
  drawAll(figures, twins);
}
